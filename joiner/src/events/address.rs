//! Endpoints in six bytes: IPv4 addresses as they are, IPv6 ones by their number. A machine meets few
//! of those, and they would make every table twice as long.

use hashbrown::HashMap;
use schema::Endpoint;

/// IPv6 addresses by their numbers.
#[derive(Debug, Default)]
pub(crate) struct Addresses {
    all: Vec<[u8; 16]>,
    /// Only while addresses come.
    numbers: HashMap<[u8; 16], u32>,
}

impl Addresses {
    /// The address of `end` in four bytes, and whether it is an IPv4 one.
    #[inline]
    pub(crate) fn short(&mut self, end: Endpoint) -> (u32, bool) {
        match v4(end) {
            Some(bits) => (bits, true),
            None => (self.number(end.mapped()), false),
        }
    }

    fn number(&mut self, address: [u8; 16]) -> u32 {
        let next = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        let number = *self.numbers.entry(address).or_insert(next);
        if number == next {
            self.all.push(address);
        }
        number
    }

    /// Whether `short`, which is from here, is the address of `end`.
    #[inline]
    pub(crate) fn is(&self, short: (u32, bool), end: Endpoint) -> bool {
        match v4(end) {
            Some(bits) => short == (bits, true),
            None => !short.1 && self.get(short.0) == Some(&end.mapped()),
        }
    }

    /// The endpoint of an address from here, with this port.
    #[inline]
    pub(crate) fn end(&self, (short, is_v4): (u32, bool), port: u16) -> Endpoint {
        if is_v4 {
            return Endpoint::v4(short.to_be_bytes(), port);
        }
        Endpoint::v6(self.get(short).copied().unwrap_or_default(), port)
    }

    fn get(&self, number: u32) -> Option<&[u8; 16]> {
        self.all.get(usize::try_from(number).ok()?)
    }

    /// No more addresses come.
    pub(crate) fn finish(&mut self) {
        self.numbers = HashMap::new();
        self.all.shrink_to_fit();
    }
}

fn v4(end: Endpoint) -> Option<u32> {
    let [.., a, b, c, d] = end.mapped();
    end.is_v4().then(|| u32::from_be_bytes([a, b, c, d]))
}
