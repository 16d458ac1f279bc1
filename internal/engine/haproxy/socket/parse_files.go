package socket

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// ParseMap takes the answer to `show map <file>` apart: the entries in the order
// in which they were added. A key that was added twice is there twice.
func ParseMap(answer string) ([]Entry, error) {
	var entries []Entry
	for line := range strings.Lines(answer) {
		line = strings.TrimRight(line, "\n")
		if line == "" {
			continue
		}
		reference, rest, ok := strings.Cut(line, " ")
		key, value, _ := strings.Cut(rest, " ")
		if !ok || key == "" || !strings.HasPrefix(reference, "0x") {
			return nil, fmt.Errorf("haproxy: show map: %q is not an entry", line)
		}
		entries = append(entries, Entry{Key: key, Value: value})
	}
	return entries, nil
}

// ParseMapFiles takes the answer to `show map` apart: the files of all maps.
func ParseMapFiles(answer string) ([]string, error) {
	var files []string
	for line := range strings.Lines(answer) {
		line = strings.TrimRight(line, "\n")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		id, rest, _ := strings.Cut(line, " (")
		file, _, ok := strings.Cut(rest, ") ")
		if _, err := strconv.ParseInt(id, 10, 64); err != nil || !ok {
			return nil, fmt.Errorf("haproxy: show map: %q is not a map", line)
		}
		if file != "" {
			files = append(files, file)
		}
	}
	return files, nil
}

// ParseCertificates takes the answer to `show ssl cert` apart: the files of all
// key pairs, without those of open transactions.
func ParseCertificates(answer string) []string {
	var files []string
	for line := range strings.Lines(answer) {
		line = strings.TrimRight(line, "\n")
		if line == "" || strings.HasPrefix(line, "#") || strings.HasPrefix(line, "*") {
			continue
		}
		files = append(files, line)
	}
	return files
}

// parseTransactions are the files of the open transactions in the answer to
// `show ssl cert`.
func parseTransactions(answer string) []string {
	var files []string
	for line := range strings.Lines(answer) {
		if file, ok := strings.CutPrefix(strings.TrimRight(line, "\n"), "*"); ok {
			files = append(files, file)
		}
	}
	return files
}

// Certificate is what `show ssl cert <file>` says of a key pair.
type Certificate struct {
	// Used is true when a crt-list or a listener of HAProxy's names it.
	Used bool
	// Fingerprint is the SHA-1 of the certificate, in upper-case hexadecimal.
	Fingerprint string
	// Values are all fields by HAProxy's names.
	Values map[string]string
}

// ParseCertificate takes the answer to `show ssl cert <file>` apart.
func ParseCertificate(answer string) (Certificate, error) {
	c := Certificate{Values: map[string]string{}}
	for line := range strings.Lines(answer) {
		if key, value, ok := strings.Cut(strings.TrimRight(line, "\n"), ": "); ok {
			if _, twice := c.Values[key]; !twice { // the chain follows the leaf
				c.Values[key] = value
			}
		}
	}
	c.Used = c.Values["Status"] == "Used"
	c.Fingerprint = c.Values["SHA1 FingerPrint"]
	if c.Values["Filename"] == "" {
		return Certificate{}, fmt.Errorf("haproxy: show ssl cert: no file name")
	}
	return c, nil
}

// ParseCrtList takes the answer to `show ssl crt-list -n <file>` apart.
func ParseCrtList(answer string) ([]CrtListEntry, error) {
	var entries []CrtListEntry
	for line := range strings.Lines(answer) {
		// HAProxy 2.6 shows the protocols of `alpn` with a NUL behind them.
		line = strings.ReplaceAll(strings.TrimRight(line, "\n"), "\x00", "")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		file, rest, _ := strings.Cut(line, " ")
		colon := strings.LastIndexByte(file, ':')
		if colon <= 0 {
			return nil, fmt.Errorf("haproxy: show ssl crt-list: %q has no line number", line)
		}
		e := CrtListEntry{File: file[:colon]}
		if strings.HasPrefix(rest, "[") {
			options, names, ok := strings.Cut(rest[1:], "]")
			if !ok {
				return nil, fmt.Errorf("haproxy: show ssl crt-list: %q has no end of options", line)
			}
			if options != "" {
				e.Options = []string{options}
			}
			rest = names
		}
		e.Names = strings.Fields(rest)
		if len(e.Names) == 0 {
			e.Names = nil
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// Certificates are the files of all key pairs that HAProxy has.
func (s *Session) Certificates(ctx context.Context) ([]string, error) {
	answer, err := s.show(ctx, "ssl", "cert")
	return ParseCertificates(answer), err
}

// Certificate describes the key pair of a file.
func (s *Session) Certificate(ctx context.Context, file string) (Certificate, error) {
	return parsed(ParseCertificate)(s.show(ctx, "ssl", "cert", file))
}

// CrtLists are the files of all crt-lists.
func (s *Session) CrtLists(ctx context.Context) ([]string, error) {
	answer, err := s.show(ctx, "ssl", "crt-list")
	return strings.Fields(answer), err
}

// CrtList are the entries of a crt-list.
func (s *Session) CrtList(ctx context.Context, list string) ([]CrtListEntry, error) {
	return parsed(ParseCrtList)(s.show(ctx, "ssl", "crt-list", "-n", list))
}

// Map are the entries of a map in the order in which they were added.
func (s *Session) Map(ctx context.Context, file string) ([]Entry, error) {
	return parsed(ParseMap)(s.show(ctx, "map", file))
}

// MapFiles are the files of all maps.
func (s *Session) MapFiles(ctx context.Context) ([]string, error) {
	return parsed(ParseMapFiles)(s.show(ctx, "map"))
}

// Servers are the servers of some backends, or of all when none is named.
func (s *Session) Servers(ctx context.Context, backends ...string) ([]Server, error) {
	commands := []Command{{line: "show servers state"}}
	for i, backend := range backends {
		c, err := Cmd("show", "servers", "state", backend)
		if err != nil {
			return nil, err
		}
		commands = append(commands[:i], c)
	}
	answers, err := s.DoAll(ctx, commands)
	if err != nil {
		return nil, err
	}
	var all []Server
	for _, answer := range answers {
		servers, err := ParseServers(answer)
		if err != nil {
			return nil, err
		}
		all = append(all, servers...)
	}
	return all, nil
}

// Info describes the worker.
func (s *Session) Info(ctx context.Context) (Info, error) {
	return parsed(ParseInfo)(s.show(ctx, "info"))
}

// Stats are the readings of everything the worker has counted.
func (s *Session) Stats(ctx context.Context) (Stats, error) {
	return parsed(ParseStats)(s.show(ctx, "stat"))
}

func (s *Session) show(ctx context.Context, words ...string) (string, error) {
	c, err := Cmd(append([]string{"show"}, words...)...)
	if err != nil {
		return "", err
	}
	return s.Do(ctx, c)
}

// parsed puts a parser behind a command that may have failed.
func parsed[T any](parse func(string) (T, error)) func(string, error) (T, error) {
	return func(answer string, err error) (T, error) {
		if err != nil {
			var none T
			return none, err
		}
		return parse(answer)
	}
}

// ParseMapValue takes the answer to `get map` apart: the value of the entry with
// exactly this key, which is the longest that matches itself; false when there is
// none.
func ParseMapValue(key, answer string) (string, bool) {
	_, rest, ok := strings.Cut(answer, `, key="`+key+`", value="`)
	if !ok {
		return "", false
	}
	end := strings.LastIndex(rest, `", type="`)
	if end < 0 {
		return "", false
	}
	return rest[:end], true
}

// MapValues are the values of keys in a map whose keys are compared as they are, or
// by how they begin. Those that are not there are missing.
func (s *Session) MapValues(ctx context.Context, file string, keys []string) (map[string]string, error) {
	commands := make([]Command, len(keys))
	for i, key := range keys {
		var err error
		if commands[i], err = Cmd("get", "map", file, key); err != nil {
			return nil, err
		}
	}
	answers, err := s.DoAll(ctx, commands)
	if err != nil {
		return nil, err
	}
	values := make(map[string]string, len(keys))
	for i, key := range keys {
		if value, ok := ParseMapValue(key, answers[i]); ok {
			values[key] = value
		}
	}
	return values, nil
}
