//! Properties; see below.
