//! Random bits from the kernel.

use std::io::Read;

use crate::api::Random;

/// The kernel's random numbers, read in pieces.
pub struct SystemRandom {
    buffer: [u8; 512],
    used: usize,
}

impl SystemRandom {
    pub fn new() -> Self {
        SystemRandom { buffer: [0; 512], used: 512 }
    }
}

impl Default for SystemRandom {
    fn default() -> Self {
        SystemRandom::new()
    }
}

impl Random for SystemRandom {
    fn next_u64(&mut self) -> u64 {
        if self.used + 8 > self.buffer.len() {
            // Linux always has the device; without it no secret could be made, so nothing may go on.
            let mut device = std::fs::File::open("/dev/urandom").expect("/dev/urandom opens");
            device.read_exact(&mut self.buffer).expect("/dev/urandom reads");
            self.used = 0;
        }
        let bytes = &self.buffer[self.used..self.used + 8];
        self.used += 8;
        u64::from_le_bytes(bytes.try_into().expect("eight bytes"))
    }
}
