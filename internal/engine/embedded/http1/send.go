package http1

import "cmp"

// sender writes a request and reads the beginning of the answer, in one turn of the
// connection's line: no read is made in vain to find out that the answer is not there yet.
type sender struct {
	peer *Peer
	line *Line       // nil: there is none
	step func() bool // made once, so that sending takes no memory

	// Of what is being sent.
	out   []byte
	waits bool
	began bool
	err   error
}

// all writes, and with waits reads what comes first.
func (s *sender) all(b []byte, waits bool) error {
	if s.line == nil {
		_, err := s.peer.Write(b)
		return err
	}
	s.out, s.waits, s.began, s.err = b, waits, false, nil
	err := s.line.turn(s.step)
	s.out = nil
	return cmp.Or(s.err, err)
}

// write writes, in clear at once where the socket takes all.
func (s *sender) write() error {
	n := 0
	if !s.peer.sealed {
		if n = s.line.writeInTurn(s.out); n > 0 {
			s.peer.sent.Store(true)
		}
	}
	if n == len(s.out) {
		return nil
	}
	_, err := s.peer.Write(s.out[n:])
	return err
}

// turn is a step of the line's turn.
func (s *sender) turn() bool {
	if !s.began {
		s.began = true
		quiet := s.line.quiet()
		if !quiet && s.peer.reused {
			s.err = ErrStale
			return true
		}
		if s.err = s.write(); s.err != nil || !s.waits {
			return true
		}
		if quiet {
			return false
		}
	}
	if s.err = s.peer.in.Fill(inSize); s.err == errWait { //nolint:errorlint // it is returned as it is
		s.err = nil
		return false
	}
	return true
}
