package arrival

import "net/netip"

// AddrOf reads the address of a peer; the zero Addr is trusted nowhere, in no prefix.
func AddrOf(remote string) netip.Addr {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}
