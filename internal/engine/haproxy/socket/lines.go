package socket

import (
	"errors"
	"io/fs"
	"net"
	"os"
)

// ListenForLines makes the two sockets for what HAProxy reports, a stream and one for datagrams; files that
// are there are replaced.
func ListenForLines(stream, datagrams string) (net.Listener, *net.UnixConn, error) {
	for _, file := range []string{stream, datagrams} {
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, nil, err
		}
	}
	lines, err := net.Listen("unix", stream)
	if err != nil {
		return nil, nil, err
	}
	single, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: datagrams, Net: "unixgram"})
	if err != nil {
		return nil, nil, errors.Join(err, lines.Close())
	}
	return lines, single, nil
}
