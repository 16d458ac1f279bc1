package socket

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Certificates are the files of all key pairs, without those of open transactions.
func (s *Session) Certificates(ctx context.Context) ([]string, error) {
	known, _, err := s.certificates(ctx)
	return known, err
}

func (s *Session) certificates(ctx context.Context) (known, open []string, err error) {
	answer, err := s.run(ctx, nil, "show", "ssl", "cert")
	known, open = parseCertificates(answer)
	return known, open, err
}

// parseCertificates takes the answer to `show ssl cert` apart.
func parseCertificates(answer string) (known, open []string) {
	for _, line := range entriesOf(answer) {
		if file, isOpen := strings.CutPrefix(line, "*"); isOpen {
			open = append(open, file)
		} else {
			known = append(known, file)
		}
	}
	return known, open
}

// Fingerprint is the SHA-1 of the certificate in a file that HAProxy has, in upper-case
// hexadecimal; empty for a pair that was announced and never came.
func (s *Session) Fingerprint(ctx context.Context, file string) (string, error) {
	return parsed(parseFingerprint)(s.run(ctx, nil, "show", "ssl", "cert", file))
}

// parseFingerprint takes the answer to `show ssl cert <file>` apart: the leaf comes first.
func parseFingerprint(answer string) (sum string, err error) {
	err = errors.New("haproxy: show ssl cert: no file name")
	for _, line := range entriesOf(answer) {
		switch key, value, _ := strings.Cut(line, ": "); {
		case key == "Filename" && value != "":
			err = nil
		case key == "SHA1 FingerPrint" && sum == "":
			sum = value
		}
	}
	return sum, err
}

// SetCertificate puts a key pair, PEM, in place of the one of the file, or beside the
// others when that is new. On an error what was before serves on.
func (s *Session) SetCertificate(ctx context.Context, file string, pem []byte) error {
	lines, err := pemLines(pem)
	if err != nil {
		return fmt.Errorf("socket: certificate %s: %w", file, err)
	}
	set, err := command(lines, "set", "ssl", "cert", file)
	if err != nil {
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

// prepareCertificate makes room for a pair that is not known yet, and says whether it had
// to. It ends open transactions: their owner is gone, and HAProxy refuses all others.
func (s *Session) prepareCertificate(ctx context.Context, file string) (fresh bool, err error) {
	known, open, err := s.certificates(ctx)
	if err != nil {
		return false, err
	}
	for _, other := range open {
		if err := s.certificate(ctx, "abort", other); err != nil {
			return false, err
		}
	}
	if slices.Contains(known, file) {
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
	answer, err := s.run(ctx, nil, verb, "ssl", "cert", file)
	if err == nil && verb == "commit" {
		err = success(verb+" ssl cert "+file, answer)
	}
	return err
}

// success makes an error of an answer without severity that does not say that all went well.
func success(command, answer string) error {
	if strings.HasSuffix(answer, "Success!") {
		return nil
	}
	return &CommandError{Command: command, Answer: oneLine(answer)}
}

// pemLines are the lines of PEM blocks, without empty ones: these would end the payload,
// and HAProxy would take the rest, a private key perhaps, for commands.
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
		return nil, errors.New("is not PEM")
	}
	return lines, nil
}

// CrtLists are the files of all crt-lists.
func (s *Session) CrtLists(ctx context.Context) ([]string, error) {
	answer, err := s.run(ctx, nil, "show", "ssl", "crt-list")
	return strings.Fields(answer), err
}

// CrtList are the files of the key pairs in a crt-list.
func (s *Session) CrtList(ctx context.Context, list string) ([]string, error) {
	return parsed(parseCrtList)(s.run(ctx, nil, "show", "ssl", "crt-list", "-n", list))
}

// parseCrtList takes lines like "/a.pem:1 [alpn h2] a.example" apart.
func parseCrtList(answer string) ([]string, error) {
	var files []string
	for _, line := range entriesOf(answer) {
		file, _, _ := strings.Cut(line, " ")
		colon := strings.LastIndexByte(file, ':')
		if colon <= 0 {
			return nil, fmt.Errorf("haproxy: show ssl crt-list: %q has no line number", line)
		}
		files = append(files, file[:colon])
	}
	return files, nil
}

// AddCrtList adds a known key pair to a crt-list, for a host, or, with none, for the names
// in its certificate.
func (s *Session) AddCrtList(ctx context.Context, list, file, host string) error {
	if strings.ContainsAny(file, "# \t") || strings.ContainsAny(host, "# \t![") {
		return fmt.Errorf("socket: %q %q cannot be written in a crt-list", file, host)
	}
	answer, err := s.run(ctx, []string{strings.TrimSpace(file + " " + host)}, "add", "ssl", "crt-list", list)
	if err != nil {
		return err
	}
	return success("add ssl crt-list "+list, answer)
}

// DelCrtList takes a key pair out of a crt-list, unless it is the first.
func (s *Session) DelCrtList(ctx context.Context, list, file string) error {
	_, err := s.run(ctx, nil, "del", "ssl", "crt-list", list, file)
	return err
}
