package relay

import "net"

// OneConn is a listener with one connection.
type OneConn struct {
	net.Conn
	Taken bool // Accept has returned it
}

// Accept returns the connection when it is first called.
func (o *OneConn) Accept() (net.Conn, error) {
	if o.Taken {
		return nil, net.ErrClosed
	}
	o.Taken = true
	return o.Conn, nil
}

// Close does nothing: the connection is closed by who has accepted it.
func (o *OneConn) Close() error { return nil }

// Addr is the address that the client has connected to.
func (o *OneConn) Addr() net.Addr { return o.LocalAddr() }
