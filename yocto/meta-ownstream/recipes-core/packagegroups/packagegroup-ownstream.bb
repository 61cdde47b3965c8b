SUMMARY = "The three services of OwnStream Edge, and what they need of a board"
DESCRIPTION = "The three services, the hardware watchdog, Wi-Fi, and the clock of the network."
HOMEPAGE = "https://github.com/ownstream/ownstream-edge"
BUGTRACKER = "https://github.com/ownstream/ownstream-edge/issues"
SECTION = "multimedia"
CVE_PRODUCT = "ownstream-edge"
LICENSE = "MIT"

inherit packagegroup

RDEPENDS:${PN} = "\
    kernel-modules \
    ownstream-edge-broadcaster \
    ownstream-edge-relay \
    ownstream-edge-supervisor \
    ownstream-edge-watchdog \
    tzdata-core \
    wireless-regdb-static \
    wpa-supplicant \
"
