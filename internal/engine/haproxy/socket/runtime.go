package socket

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Entry is one entry of a map.
type Entry struct{ Key, Value string }

// check refuses entries that a map file or a payload, without quoting, could not carry.
func (e Entry) check(file string) error {
	why := ""
	switch {
	case e.Key == "" || e.Value == "":
		why = "an empty key or value"
	case strings.ContainsAny(e.Key, " \t\r\n\x00") || e.Key[0] == '#':
		why = fmt.Sprintf("key %q has a blank, a line break or NUL, or begins a comment", e.Key)
	case strings.ContainsAny(e.Value, "\r\n\x00") || strings.Trim(e.Value, " \t") != e.Value:
		why = fmt.Sprintf("value %q has a line break or NUL, or blanks around it", e.Value)
	default:
		return nil
	}
	return fmt.Errorf("socket: map %s: %s", file, why)
}

// AddMap adds entries with new keys to a map, as many at once as fit.
func AddMap(file string, entries []Entry) ([]Command, error) {
	return addMap(entries, "add", "map", file)
}

func addMap(entries []Entry, words ...string) ([]Command, error) {
	lines := make([]string, len(entries))
	for i, e := range entries {
		if err := e.check(words[len(words)-1]); err != nil {
			return nil, err
		}
		lines[i] = e.Key + " " + e.Value
	}
	var commands []Command
	for len(lines) > 0 {
		n, size := 0, 0
		for n < len(lines) && size+len(lines[n]) < maxPayload {
			size += len(lines[n]) + 1
			n++
		}
		n = max(n, 1) // one that is too large is an error
		c, err := command(lines[:n], words...)
		if err != nil {
			return nil, err
		}
		commands, lines = append(commands, c), lines[n:]
	}
	return commands, nil
}

// SetMap gives every entry of a map with the key another value.
func SetMap(file, key, value string) (Command, error) {
	if err := (Entry{key, value}).check(file); err != nil {
		return Command{}, err
	}
	c, err := Cmd("set", "map", file, key, value)
	c.public = "set map " + file + " " + key + " …" // the value may be the hash of a password
	return c, err
}

// DelMap takes every entry with the key out of a map.
func DelMap(file, key string) (Command, error) {
	if err := (Entry{key, "-"}).check(file); err != nil {
		return Command{}, err
	}
	return Cmd("del", "map", file, key)
}

// ReplaceMap puts entries in place of everything in a map, at one moment.
func (s *Session) ReplaceMap(ctx context.Context, file string, entries []Entry) error {
	answer, err := s.run(ctx, nil, "prepare", "map", file)
	if err != nil {
		return err
	}
	version, ok := strings.CutPrefix(answer, "New version created: ")
	if _, err := strconv.ParseUint(version, 10, 64); !ok || err != nil {
		return fmt.Errorf("haproxy: prepare map: unexpected answer %q", oneLine(answer))
	}
	commands, err := addMap(entries, "add", "map", "@"+version, file)
	if err != nil {
		return err
	}
	for _, c := range commands { // one by one: nothing is committed after a refusal
		if _, err := s.Do(ctx, c); err != nil {
			return err
		}
	}
	_, err = s.run(ctx, nil, "commit", "map", "@"+version, file)
	return err
}

// Map are the entries of a map in the order in which they were added.
func (s *Session) Map(ctx context.Context, file string) ([]Entry, error) {
	return parsed(parseMap)(s.run(ctx, nil, "show", "map", file))
}

// parseMap takes the answer to `show map <file>` apart.
func parseMap(answer string) ([]Entry, error) {
	var entries []Entry
	for _, line := range entriesOf(answer) {
		reference, rest, ok := strings.Cut(line, " ")
		key, value, _ := strings.Cut(rest, " ")
		if !ok || key == "" || !strings.HasPrefix(reference, "0x") {
			return nil, fmt.Errorf("haproxy: show map: %q is not an entry", line)
		}
		entries = append(entries, Entry{Key: key, Value: value})
	}
	return entries, nil
}

// MapFiles are the files of all maps.
func (s *Session) MapFiles(ctx context.Context) ([]string, error) {
	return parsed(parseMapFiles)(s.run(ctx, nil, "show", "map"))
}

// parseMapFiles takes the answer to `show map` apart.
func parseMapFiles(answer string) ([]string, error) {
	var files []string
	for _, line := range entriesOf(answer) {
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

// MapValues are the values of those keys that are in a map, by how they begin or as a whole.
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
		if value, ok := parseMapValue(key, answers[i]); ok {
			values[key] = value
		}
	}
	return values, nil
}

// parseMapValue takes the answer to `get map` apart: the value of exactly this key, or false.
func parseMapValue(key, answer string) (string, bool) {
	_, rest, ok := strings.Cut(answer, `, key="`+key+`", value="`)
	end := strings.LastIndex(rest, `", type="`)
	if !ok || end < 0 {
		return "", false
	}
	return rest[:end], true
}

// MarkerVariable is the variable in which a worker shows which configuration it runs.
const MarkerVariable = "proc.fairway"

// GetVar reads a variable of the process that holds a string.
func (s *Session) GetVar(ctx context.Context, name string) (value string, ok bool, err error) {
	answer, err := s.run(ctx, nil, "get", "var", name)
	if Refused(err, "not found") {
		return "", false, nil
	}
	value, ok = parseVar(name, answer)
	return value, ok, err
}

// parseVar takes the string out of the answer to `get var`; false when there is none.
func parseVar(name, answer string) (string, bool) {
	rest, ok := strings.CutPrefix(strings.TrimRight(answer, "\n"), name+": type=str value=<")
	if !ok {
		return "", false
	}
	return strings.CutSuffix(rest, ">")
}

// entriesOf are the lines of an answer that are not empty and no comments.
func entriesOf(answer string) []string {
	return slices.DeleteFunc(strings.Split(answer, "\n"), func(line string) bool { return line == "" || line[0] == '#' })
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
