//! The system calls of the shared port: a socket with large buffers, and many datagrams per call.
//!
//! One of the two files of this workspace with `unsafe` code: `sendmmsg` with a control message for each
//! datagram has no safe wrapper (nix's takes one set of control messages for the whole call), nor has tokio a safe way to
//! watch a socket for what comes alone.
#![allow(unsafe_code)]

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrLike, SockaddrStorage, bind as bind_socket,
    getsockopt, setsockopt, socket, sockopt,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// What each of the two kernel buffers should hold, bytes. Measured: with Debian's default of
/// 212 kB a fan-out to 64 overflows (p99 over 1 s); with 4 MiB it does not (p99 11–20 ms).
pub(super) const KERNEL_BUFFER: usize = 4 << 20;

/// Datagram runs in one `sendmmsg` call. Guess: past some tens, the call itself costs nothing.
const BATCH: usize = 64;

/// Room for both control messages that a datagram run may need.
const CONTROL_ROOM: usize = 64;

/// A run of datagrams to one address: `bytes` cut every `segment` bytes, the last may be shorter.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) destination: SocketAddr,
    /// Address to send from, where the machine has several.
    pub(super) source: Option<IpAddr>,
    /// Length of each datagram but the last.
    pub(super) segment: usize,
    pub(super) bytes: Vec<u8>,
}

/// Makes a non-blocking UDP socket with large buffers. One for IPv6 leaves IPv4 alone, so that two
/// can share a port.
pub(super) fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let family = if address.is_ipv6() {
        AddressFamily::Inet6
    } else {
        AddressFamily::Inet
    };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(family, SockType::Datagram, flags, None)?;
    if address.is_ipv6() {
        setsockopt(&fd, sockopt::Ipv6V6Only, &true)?;
    }
    setsockopt(&fd, sockopt::RcvBuf, &KERNEL_BUFFER)?;
    setsockopt(&fd, sockopt::SndBuf, &KERNEL_BUFFER)?;
    bind_socket(fd.as_raw_fd(), &SockaddrStorage::from(address))?;
    Ok(UdpSocket::from(fd))
}

/// Has the runtime tell when something comes.
pub(super) fn watch(socket: UdpSocket) -> io::Result<AsyncFd<UdpSocket>> {
    // SAFETY: a `UdpSocket` owns its descriptor, and names the same one until it is dropped.
    let watched = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) };
    watched.map_err(io::Error::from)
}

/// What the kernel granted of [`KERNEL_BUFFER`], bytes: (receive, send).
pub(super) fn granted_buffers(socket: &UdpSocket) -> io::Result<(usize, usize)> {
    // The kernel doubles what it is asked for, for its own bookkeeping, and reports the double.
    let receive = getsockopt(socket, sockopt::RcvBuf)? / 2;
    let send = getsockopt(socket, sockopt::SndBuf)? / 2;
    Ok((receive, send))
}

/// Room for one run's control messages, aligned as `cmsghdr` asks.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; CONTROL_ROOM]);

/// Sends as many of the first [`BATCH`] runs as the kernel takes, and says how many.
///
/// # Errors
///
/// That of the first run; the others were not tried. `WouldBlock` when there is no room.
pub(super) fn send_runs(socket: BorrowedFd<'_>, runs: &[Run]) -> io::Result<usize> {
    let count = runs.len().min(BATCH);
    let mut addresses: [MaybeUninit<SockaddrStorage>; BATCH] = [MaybeUninit::uninit(); BATCH];
    let mut vectors = [libc::iovec {
        iov_base: std::ptr::null_mut(),
        iov_len: 0,
    }; BATCH];
    let mut controls: [MaybeUninit<Control>; BATCH] = [MaybeUninit::uninit(); BATCH];
    // SAFETY: `mmsghdr` is a C struct of integers and pointers, for all of which zero is valid.
    let mut headers: [libc::mmsghdr; BATCH] = unsafe { std::mem::zeroed() };

    for (i, run) in runs[..count].iter().enumerate() {
        let address = addresses[i].write(SockaddrStorage::from(run.destination));
        vectors[i].iov_base = run.bytes.as_ptr().cast_mut().cast();
        vectors[i].iov_len = run.bytes.len();
        let header = &mut headers[i].msg_hdr;
        header.msg_name = std::ptr::from_mut(address).cast();
        header.msg_namelen = address.len();
        header.msg_iov = &raw mut vectors[i];
        header.msg_iovlen = 1;
        if run.source.is_some() || run.bytes.len() > run.segment {
            let control = controls[i].write(Control([0; CONTROL_ROOM]));
            header.msg_controllen = write_control(control, run) as _;
            header.msg_control = control.0.as_mut_ptr().cast();
        }
    }

    // SAFETY: each of the first `count` headers points at an address, a vector and (or null) a
    // control buffer in the arrays above, which outlive the call and are not moved; the vectors
    // point into `runs`, borrowed for the call, and `sendmmsg` only reads through them.
    let sent = unsafe {
        libc::sendmmsg(
            socket.as_raw_fd(),
            headers.as_mut_ptr(),
            count as _,
            libc::MSG_DONTWAIT as _,
        )
    };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// Writes the control messages of `run`, and says how many bytes they take.
fn write_control(control: &mut Control, run: &Run) -> usize {
    let mut used = 0;
    if run.bytes.len() > run.segment {
        let segment = u16::try_from(run.segment).unwrap_or(u16::MAX);
        used += put(control, used, (libc::SOL_UDP, libc::UDP_SEGMENT), segment);
    }
    match run.source {
        Some(IpAddr::V4(source)) => {
            let info = libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: libc::in_addr {
                    s_addr: u32::from(source).to_be(),
                },
                ipi_addr: libc::in_addr { s_addr: 0 },
            };
            used += put(control, used, (libc::IPPROTO_IP, libc::IP_PKTINFO), info);
        }
        Some(IpAddr::V6(source)) => {
            let info = libc::in6_pktinfo {
                ipi6_addr: libc::in6_addr {
                    s6_addr: source.octets(),
                },
                ipi6_ifindex: 0,
            };
            used += put(
                control,
                used,
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO),
                info,
            );
        }
        None => {}
    }
    used
}

/// Writes one control message at `at`, and says how many bytes it takes with its padding.
fn put<T: Copy>(
    control: &mut Control,
    at: usize,
    kind: (libc::c_int, libc::c_int),
    value: T,
) -> usize {
    let size = size_of::<T>() as libc::c_uint;
    // SAFETY: both only compute.
    let (space, length) = unsafe {
        (
            libc::CMSG_SPACE(size) as usize,
            libc::CMSG_LEN(size) as usize,
        )
    };
    assert!(
        at + space <= CONTROL_ROOM,
        "CONTROL_ROOM fits the two messages that are ever written"
    );
    // SAFETY: `cmsghdr` is a C struct of integers, for which zero is valid.
    let mut header: libc::cmsghdr = unsafe { std::mem::zeroed() };
    header.cmsg_len = length as _;
    (header.cmsg_level, header.cmsg_type) = kind;
    // SAFETY: the assertion above keeps both writes inside the buffer. `at` is a sum of
    // `CMSG_SPACE`s and so a multiple of `cmsghdr`'s alignment, which is at most the buffer's; the
    // value follows where `CMSG_DATA` would look for it, and may be unaligned.
    unsafe {
        let start = control.0.as_mut_ptr().add(at);
        start.cast::<libc::cmsghdr>().write(header);
        start
            .add(length - size_of::<T>())
            .cast::<T>()
            .write_unaligned(value);
    }
    space
}
