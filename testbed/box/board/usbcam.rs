//! A USB camera without hardware: speaks USB/IP with the kernel's `vhci_hcd`, which makes a real USB device of it, with
//! a real `uvcvideo` node, serial number, plugging in and being unplugged. Gives MJPEG from a folder of JPEG files, and H.264
//! beside it, in the last of its sizes, where the folder has pictures of it (`.h264`, each an access unit, the first a key frame).
//!
//! usage: usbcam PORT SERIAL FOLDER [unplug-after=SECONDS] [stall-after=PICTURES]
//!
//! Compiled by itself, with the standard library alone. Sources: USB Video Class 1.1 with its frame based payload, the kernel's
//! Documentation/usb/usbip_protocol.rst.

use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};
use std::{fs, process, thread};

const CONTROLLER: &str = "/sys/devices/platform/vhci_hcd.0";
/// USB 2 high speed, as the attach file counts.
const HIGH_SPEED: u32 = 3;
/// What it gives: width, height, and the time between two pictures in 100 ns.
/// An emulated processor decodes the smallest, at ten a second.
const SIZES: [(u16, u16, u32); 3] = [(1280, 720, 333_333), (640, 480, 333_333), (320, 240, 1_000_000)];
/// Largest payload of one bulk transfer: header and picture.
const PAYLOAD: usize = 16_384;
/// USB/IP's commands, and the errors that go back.
const SUBMIT: u32 = 1;
const UNLINK: u32 = 2;
const SUBMITTED: u32 = 3;
const UNLINKED: u32 = 4;
const ECONNRESET: i32 = -104;
const EPIPE: i32 = -32;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, port, serial, folder, rest @ ..] = arguments.as_slice() else {
        eprintln!("usage: usbcam PORT SERIAL FOLDER [unplug-after=SECONDS] [stall-after=PICTURES]");
        process::exit(2);
    };
    let option = |name: &str| {
        let found = rest.iter().find_map(|word| word.strip_prefix(&format!("{name}=")));
        found.map(|number| number.parse().expect("a number"))
    };
    let formats = ["jpg", "h264"].map(|end| pictures(Path::new(folder), end));
    assert!(!formats[0].is_empty(), "no .jpg in {folder}");
    let socket = plug(port, serial);
    if let Some(seconds) = option("unplug-after") {
        let (port, serial) = (port.clone(), serial.clone());
        thread::spawn(move || unplug(&port, &serial, seconds));
    }
    let stall_after = option("stall-after").unwrap_or(u64::MAX);
    Camera::new(socket, serial, formats, stall_after).run();
    eprintln!("usbcam {serial}: the kernel let go of it");
}

fn pictures(folder: &Path, kind: &str) -> Vec<Vec<u8>> {
    let mut paths: Vec<_> = fs::read_dir(folder)
        .expect("the folder")
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|end| end == kind))
        .collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).expect("a picture")).collect()
}

/// Gives one end of a socket to the kernel, which takes it for a cable.
fn plug(port: &str, serial: &str) -> UnixStream {
    let (ours, kernels) = UnixStream::pair().expect("a pair of sockets");
    let device = 0x1_0002 + port.parse::<u32>().expect("a port");
    let words = format!("{port} {} {device} {HIGH_SPEED}", kernels.as_raw_fd());
    fs::write(format!("{CONTROLLER}/attach"), words).expect("vhci_hcd takes the socket");
    eprintln!("usbcam {serial}: plugged in");
    ours
}

fn unplug(port: &str, serial: &str, seconds: u64) {
    thread::sleep(Duration::from_secs(seconds));
    eprintln!("usbcam {serial}: unplugged");
    fs::write(format!("{CONTROLLER}/detach"), port).expect("vhci_hcd lets go");
    thread::sleep(Duration::from_millis(300));
    process::exit(0);
}

/// Little-endian bytes, as descriptors are made of.
#[derive(Default)]
struct Bytes(Vec<u8>);

impl Bytes {
    fn add(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn word(&mut self, word: u16) -> &mut Self {
        self.add(&word.to_le_bytes())
    }

    fn long(&mut self, long: u32) -> &mut Self {
        self.add(&long.to_le_bytes())
    }
}

/// A composite device of one configuration; strings 1 to 3 are maker, product and serial number.
fn device() -> Vec<u8> {
    vec![18, 1, 0, 2, 0xef, 2, 1, 64, 0x09, 0x12, 0x01, 0xca, 0, 1, 1, 2, 3, 1]
}

/// The configuration: a control interface (camera terminal to USB terminal) and a streaming one over bulk transfers.
fn configuration(has_h264: bool) -> Vec<u8> {
    let mut control = Bytes::default();
    control.add(&[13, 0x24, 1, 0, 1]).word(13 + 18 + 9).long(48_000_000).add(&[1, 1]);
    control.add(&[18, 0x24, 2, 1, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0]);
    control.add(&[9, 0x24, 3, 2, 1, 1, 0, 1, 0]);
    let mut formats = Bytes::default();
    formats.add(&[11, 0x24, 6, 1, SIZES.len() as u8, 1, 1, 0, 0, 0, 0]);
    for (index, (width, height, interval)) in (1..).zip(SIZES) {
        let most = u32::from(width) * u32::from(height) * 2;
        formats.add(&[30, 0x24, 7, index, 0]).word(width).word(height);
        formats.long(1_000_000).long(200_000_000).long(most).long(interval);
        formats.add(&[1]).long(interval);
    }
    formats.add(&[6, 0x24, 0x0d, 1, 1, 4]); // BT.709, BT.601
    let count = 1 + u8::from(has_h264);
    if has_h264 {
        let (width, height, interval) = SIZES[SIZES.len() - 1];
        formats.add(&[28, 0x24, 0x10, 2, 1]).add(b"H264\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71");
        formats.add(&[16, 1, 0, 0, 0, 0, 1]);
        formats.add(&[30, 0x24, 0x11, 1, 0]).word(width).word(height);
        formats.long(100_000).long(10_000_000).long(interval);
        formats.add(&[1]).long(0).long(interval);
        formats.add(&[6, 0x24, 0x0d, 1, 1, 4]);
    }
    let mut streaming = Bytes::default();
    streaming.add(&[13 + count, 0x24, 1, count]).word(13 + u16::from(count) + formats.0.len() as u16);
    streaming.add(&[0x81, 0, 2, 0, 0, 0, 1, 0]);
    streaming.add(&vec![0; usize::from(count) - 1]).add(&formats.0);

    let mut all = Bytes::default();
    all.add(&[9, 2, 0, 0, 2, 1, 0, 0x80, 250]).add(&[8, 0x0b, 0, 2, 0x0e, 3, 0, 2]);
    all.add(&[9, 4, 0, 0, 0, 0x0e, 1, 0, 2]).add(&control.0);
    all.add(&[9, 4, 1, 0, 1, 0x0e, 2, 0, 0]).add(&streaming.0);
    all.add(&[7, 5, 0x81, 2, 0, 2, 0]);
    let length = (all.0.len() as u16).to_le_bytes();
    all.0[2..4].copy_from_slice(&length);
    all.0
}

fn string(text: &str) -> Vec<u8> {
    let mut all = Bytes(vec![0, 3]);
    for unit in text.encode_utf16() {
        all.word(unit);
    }
    all.0[0] = all.0.len() as u8;
    all.0
}

/// What the kernel asks for in one USB/IP message.
struct Request {
    command: u32,
    sequence: u32,
    to_host: bool,
    endpoint: u32,
    length: usize,
    /// A control transfer's setup packet; in an unlink the message it revokes stands before.
    setup: [u8; 8],
    unlinks: u32,
}

struct Camera {
    socket: UnixStream,
    serial: String,
    /// Pictures by format: JPEG, H.264.
    formats: [Vec<Vec<u8>>; 2],
    stall_after: u64,
    /// The format that was agreed on, from 1.
    format: u8,
    /// The size that was agreed on, from 1, and the time between pictures in 100 ns.
    size: u8,
    interval: u32,
    /// Pictures begun since the stream was, and where the present one is.
    begun: u64,
    offset: usize,
    flip: u8,
    next: Instant,
    /// Transfers that are never answered: it hangs.
    pending: Vec<u32>,
}

impl Camera {
    fn new(socket: UnixStream, serial: &str, formats: [Vec<Vec<u8>>; 2], stall_after: u64) -> Self {
        Self {
            socket,
            serial: serial.to_owned(),
            formats,
            stall_after,
            format: 1,
            size: 1,
            interval: SIZES[0].2,
            begun: 0,
            offset: 0,
            flip: 0,
            next: Instant::now(),
            pending: Vec::new(),
        }
    }

    fn run(&mut self) {
        while let Some(request) = self.request() {
            match (request.command, request.endpoint) {
                (UNLINK, _) => self.unlink(&request),
                (SUBMIT, 0) => self.control(&request),
                (SUBMIT, _) if self.begun > self.stall_after => self.pending.push(request.sequence),
                (SUBMIT, _) => self.payload(&request),
                (other, _) => panic!("command {other}"),
            }
        }
    }

    fn request(&mut self) -> Option<Request> {
        let mut head = [0; 48];
        self.socket.read_exact(&mut head).ok()?;
        let number = |at: usize| u32::from_be_bytes(head[at..at + 4].try_into().expect("four bytes"));
        Some(Request {
            command: number(0),
            sequence: number(4),
            to_host: number(12) == 1,
            endpoint: number(16),
            length: number(24) as usize,
            setup: head[40..48].try_into().expect("eight bytes"),
            unlinks: number(20),
        })
    }

    fn reply(&mut self, command: u32, sequence: u32, status: i32, count: usize, data: &[u8]) {
        let mut message = vec![0; 48];
        message[0..4].copy_from_slice(&command.to_be_bytes());
        message[4..8].copy_from_slice(&sequence.to_be_bytes());
        message[20..24].copy_from_slice(&status.to_be_bytes());
        message[24..28].copy_from_slice(&(count as u32).to_be_bytes());
        message.extend_from_slice(data);
        let _ = self.socket.write_all(&message); // it is noticed when reading
    }

    fn unlink(&mut self, request: &Request) {
        let place = self.pending.iter().position(|sequence| *sequence == request.unlinks);
        let status = match place {
            Some(place) => {
                self.pending.remove(place);
                ECONNRESET
            }
            None => 0,
        };
        self.reply(UNLINKED, request.sequence, status, 0, &[]);
    }

    fn control(&mut self, request: &Request) {
        let mut sent = vec![0; if request.to_host { 0 } else { request.length }];
        if self.socket.read_exact(&mut sent).is_err() {
            return;
        }
        let most = usize::from(u16::from_le_bytes([request.setup[6], request.setup[7]]));
        match self.answer(&request.setup, &sent) {
            Some(mut data) if request.to_host => {
                data.truncate(most);
                self.reply(SUBMITTED, request.sequence, 0, data.len(), &data);
            }
            Some(_) => self.reply(SUBMITTED, request.sequence, 0, sent.len(), &[]),
            None => self.reply(SUBMITTED, request.sequence, EPIPE, 0, &[]),
        }
    }

    /// The answer to a control transfer; none is a stall, which says that there is no such thing.
    fn answer(&mut self, setup: &[u8; 8], sent: &[u8]) -> Option<Vec<u8>> {
        let [kind, request, value_low, value, index, ..] = *setup;
        match (kind, request) {
            (0x80, 6) => self.descriptor(value, value_low),
            (0x80 | 0x81, 0) => Some(vec![0, 0]),
            (0x80, 8) => Some(vec![1]),
            (0x81, 10) => Some(vec![0]),
            (0x00..=0x02, _) => Some(Vec::new()),
            (0x21, 1) if index == 1 => {
                self.agree(sent, value == 2);
                Some(Vec::new())
            }
            (0xa1, 0x81..=0x84 | 0x87) if index == 1 => Some(self.agreement()),
            (0xa1, 0x86) => Some(vec![3]),
            (0xa1, 0x85) => Some(vec![26, 0]),
            _ => None,
        }
    }

    fn descriptor(&self, kind: u8, index: u8) -> Option<Vec<u8>> {
        match (kind, index) {
            (1, _) => Some(device()),
            (2, _) => Some(configuration(!self.formats[1].is_empty())),
            (3, 0) => Some(vec![4, 3, 9, 4]),
            (3, 1) => Some(string("OwnStream")),
            (3, 2) => Some(string("Emulated Camera")),
            (3, 3) => Some(string(&self.serial)),
            _ => None,
        }
    }

    /// The host proposes a size and rate; with `for_good` the stream begins.
    fn agree(&mut self, sent: &[u8], for_good: bool) {
        if let [_, _, format, size, a, b, c, d, ..] = *sent {
            self.format = format.clamp(1, if self.formats[1].is_empty() { 1 } else { 2 });
            self.size = size.clamp(1, if self.format == 1 { SIZES.len() as u8 } else { 1 });
            let least = self.mode().2;
            self.interval = u32::from_le_bytes([a, b, c, d]).max(least);
        }
        if for_good {
            eprintln!("usbcam {}: streams format {}, size {}", self.serial, self.format, self.size);
            (self.offset, self.begun, self.next) = (0, 0, Instant::now());
        }
    }

    /// What was agreed on: width, height, and the time between two pictures.
    fn mode(&self) -> (u16, u16, u32) {
        match self.format {
            1 => SIZES[usize::from(self.size) - 1],
            _ => SIZES[SIZES.len() - 1],
        }
    }

    fn agreement(&self) -> Vec<u8> {
        let (width, height, _) = self.mode();
        let mut all = Bytes(vec![1, 0, self.format, self.size]);
        all.long(self.interval).add(&[0; 10]);
        all.long(u32::from(width) * u32::from(height) * 2).long(PAYLOAD as u32);
        all.0
    }

    /// One bulk transfer: two bytes of header, and a piece of the picture.
    fn payload(&mut self, request: &Request) {
        if self.offset == 0 {
            thread::sleep(self.next.saturating_duration_since(Instant::now()));
            self.next = self.next.max(Instant::now() - Duration::from_secs(1))
                + Duration::from_nanos(u64::from(self.interval) * 100);
            self.begun += 1;
        }
        let pictures = &self.formats[usize::from(self.format) - 1];
        let picture = &pictures[(self.begun - 1) as usize % pictures.len()];
        let end = (self.offset + request.length.min(PAYLOAD) - 2).min(picture.len());
        let last = end == picture.len();
        let mut data = vec![2, 0x80 | self.flip | if last { 2 } else { 0 }];
        data.extend_from_slice(&picture[self.offset..end]);
        self.offset = if last { 0 } else { end };
        self.flip ^= u8::from(last);
        self.reply(SUBMITTED, request.sequence, 0, data.len(), &data);
    }
}
