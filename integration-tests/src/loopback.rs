//! Loopback addresses of one's own: no port is fixed, and no two nodes meet.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use crate::Result;

/// Where a node listens.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) address: IpAddr,
    /// For clients.
    pub(crate) cql: u16,
    /// For other nodes.
    pub(crate) storage: u16,
    /// Held as long as the place is: who binds it too chooses another address.
    _held: Option<TcpListener>,
}

/// The port that says whose an address is. Nothing is ever said on it.
const HELD: u16 = 6999;
const CQL: u16 = 9042;
const STORAGE: u16 = 7000;

impl Place {
    /// An address with the usual ports where the whole of 127.0.0.0/8 is the machine's own, as on
    /// Linux; elsewhere 127.0.0.1 with two free ports, which keeps no second node apart.
    pub(crate) fn reserve() -> Result<Self> {
        if cfg!(target_os = "linux") { Self::own_address() } else { Self::free_ports() }
    }

    /// So many places that belong to one cluster: drivers find its nodes by address, all on one port.
    pub(crate) fn reserve_all(count: usize) -> Result<Vec<Self>> {
        if cfg!(target_os = "linux") {
            (0..count).map(|_| Self::own_address()).collect()
        } else {
            Err("several nodes need loopback addresses of their own, which only Linux has".into())
        }
    }

    fn own_address() -> Result<Self> {
        for _ in 0..100 {
            // Not 127.0.0.0/16, where people's own servers are.
            let [a, b, c] = [fastrand::u8(1..=250), fastrand::u8(..), fastrand::u8(1..=250)];
            let address = IpAddr::V4(Ipv4Addr::new(127, a, b, c));
            let Ok(held) = TcpListener::bind(SocketAddr::new(address, HELD)) else { continue };
            let free = |port| TcpListener::bind(SocketAddr::new(address, port)).is_ok();
            if free(CQL) && free(STORAGE) {
                return Ok(Self { address, cql: CQL, storage: STORAGE, _held: Some(held) });
            }
        }
        Err("no free loopback address in a hundred tries".into())
    }

    fn free_ports() -> Result<Self> {
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let [cql, storage] = [(); 2].map(|()| TcpListener::bind((address, 0)));
        let (cql, storage) = (cql?.local_addr()?.port(), storage?.local_addr()?.port());
        Ok(Self { address, cql, storage, _held: None })
    }

    pub(crate) fn contact_point(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.cql)
    }
}
