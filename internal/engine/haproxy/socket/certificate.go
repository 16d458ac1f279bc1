package socket

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// SetCertificate puts a key pair, PEM, in place of the one that file names, or
// beside the others when file is new; then it serves wherever a crt-list names it.
// On an error what was before serves on.
func (s *Session) SetCertificate(ctx context.Context, file string, pem []byte) error {
	lines, err := pemLines(pem)
	if err != nil {
		return fmt.Errorf("socket: certificate %s: %w", file, err)
	}
	set, err := Cmd("set", "ssl", "cert", file)
	if err != nil {
		return err
	}
	if set, err = set.withPayload(lines); err != nil {
		return err
	}
	fresh, err := s.prepareCertificate(ctx, file)
	if err != nil {
		return err
	}
	if _, err = s.Do(ctx, set); err == nil {
		err = s.certificate(ctx, "commit", file)
	}
	if err != nil {
		// A transaction that is left open would refuse the next one of another file.
		_ = s.certificate(ctx, "abort", file)
		if fresh {
			_ = s.certificate(ctx, "del", file)
		}
	}
	return err
}

// prepareCertificate makes room for a pair that is not known yet, and says whether
// it had to. Transactions that are open are ended: their owner is gone,
// and HAProxy refuses all others.
func (s *Session) prepareCertificate(ctx context.Context, file string) (fresh bool, err error) {
	answer, err := s.show(ctx, "ssl", "cert")
	if err != nil {
		return false, err
	}
	for _, open := range parseTransactions(answer) {
		if err := s.certificate(ctx, "abort", open); err != nil {
			return false, err
		}
	}
	if slices.Contains(ParseCertificates(answer), file) {
		return false, nil
	}
	return true, s.certificate(ctx, "new", file)
}

// DelCertificate forgets a key pair that no crt-list names any more.
func (s *Session) DelCertificate(ctx context.Context, file string) error {
	return s.certificate(ctx, "del", file)
}

// certificate runs one of the commands that have nothing but the file.
func (s *Session) certificate(ctx context.Context, verb, file string) error {
	c, err := Cmd(verb, "ssl", "cert", file)
	if err != nil {
		return err
	}
	answer, err := s.Do(ctx, c)
	if err == nil && verb == "commit" {
		err = success(c, answer)
	}
	return err
}

// success makes an error of an answer that carries no severity and does not say
// that all went well.
func success(c Command, answer string) error {
	if strings.HasSuffix(answer, "Success!") {
		return nil
	}
	return &CommandError{Command: c.String(), Answer: oneLine(answer)}
}

// pemLines are the lines of PEM blocks, without the empty ones and the text
// around blocks: an empty line would end the payload, and HAProxy would take the
// rest, a private key perhaps, for commands.
func pemLines(pem []byte) ([]string, error) {
	var lines []string
	inside := false
	for line := range strings.Lines(string(pem)) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "-----BEGIN "):
			inside = true
		case !inside || line == "":
			continue
		}
		lines = append(lines, line)
		if strings.HasPrefix(line, "-----END ") {
			inside = false
		}
	}
	if len(lines) == 0 || inside {
		return nil, fmt.Errorf("is not PEM")
	}
	return lines, nil
}

// CrtListEntry is one line of a crt-list: a key pair with its options and the
// server names it is for; none means those in the certificate.
type CrtListEntry struct {
	File    string
	Options []string // "alpn h2,http/1.1"
	Names   []string
}

// AddCrtList adds an entry to a crt-list. Its key pair must be known.
func (s *Session) AddCrtList(ctx context.Context, list string, e CrtListEntry) error {
	c, err := Cmd("add", "ssl", "crt-list", list)
	if err != nil {
		return err
	}
	line, err := e.line()
	if err != nil {
		return err
	}
	if c, err = c.withPayload([]string{line}); err != nil {
		return err
	}
	answer, err := s.Do(ctx, c)
	if err != nil {
		return err
	}
	return success(c, answer)
}

// DelCrtList takes a key pair out of a crt-list. The one that answers clients
// without a server name, the first, cannot be taken out.
func (s *Session) DelCrtList(ctx context.Context, list, file string) error {
	c, err := Cmd("del", "ssl", "crt-list", list, file)
	if err != nil {
		return err
	}
	_, err = s.Do(ctx, c)
	return err
}

// line is the entry as it stands in a crt-list.
func (e CrtListEntry) line() (string, error) {
	words := []string{e.File}
	if len(e.Options) > 0 {
		words = append(words, "["+strings.Join(e.Options, " ")+"]")
	}
	words = append(words, e.Names...)
	for i, w := range words {
		blanks := " \t"
		if i == 1 && len(e.Options) > 0 {
			blanks = ""
		}
		if w == "" || strings.ContainsAny(w, "\r\n\x00#"+blanks) {
			return "", fmt.Errorf("socket: %q cannot be written in a crt-list", w)
		}
	}
	return strings.Join(words, " "), nil
}
