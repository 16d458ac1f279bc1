package socket

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
)

// The most bytes of a command's payload and of its line: HAProxy closes the connection
// when both are larger than its buffer, which usually has 16 KiB.
const (
	maxPayload = 12 << 10
	maxLine    = 4 << 10
)

// ErrTooLarge is the cause of errors about commands that do not fit HAProxy's buffer.
var ErrTooLarge = errors.New("too large for one command")

// A Command is one command with its payload, quoted and safe to send.
type Command struct {
	line    string
	public  string   // line without what an error must not quote; empty for all of line
	payload []string // lines, none of them empty
}

// Cmd makes a command of words, which arrive as they are. One that no quoting can carry
// is an error: the empty one, and one with CR, LF or NUL.
func Cmd(words ...string) (Command, error) { return command(nil, words...) }

// command is Cmd with the lines of a payload; one that would end it is an error.
func command(payload []string, words ...string) (Command, error) {
	if len(words) == 0 {
		return Command{}, errors.New("socket: a command without words")
	}
	quoted := make([]string, len(words))
	for i, w := range words {
		var err error
		if quoted[i], err = quote(w); err != nil {
			return Command{}, fmt.Errorf("socket: word %d of %q: %w", i+1, words[0], err)
		}
	}
	c := Command{line: strings.Join(quoted, " "), payload: payload}
	if len(c.line) > maxLine {
		return Command{}, fmt.Errorf("socket: %q: %d bytes: %w", words[0], len(c.line), ErrTooLarge)
	}
	size := 0
	for _, l := range payload {
		if l == "" || strings.ContainsAny(l, "\r\n\x00") {
			return Command{}, fmt.Errorf("socket: %q: a line of the payload is empty or contains a line break or NUL", c.verb())
		}
		size += len(l) + 1
	}
	if size > maxPayload {
		return Command{}, fmt.Errorf("socket: %q: a payload of %d bytes: %w", c.verb(), size, ErrTooLarge)
	}
	return c, nil
}

// quote escapes what HAProxy's command parser takes for more than a character.
func quote(word string) (string, error) {
	if word == "" {
		return "", errors.New("is empty")
	}
	if strings.ContainsAny(word, "\r\n\x00") {
		return "", errors.New("contains a line break or NUL")
	}
	const special = " \t;\\<\"'#"
	if !strings.ContainsAny(word, special) {
		return word, nil
	}
	var b strings.Builder
	for i := range len(word) {
		if strings.IndexByte(special, word[i]) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(word[i])
	}
	return b.String(), nil
}

// quotable is the command as an error may quote it.
func (c Command) quotable() string { return cmp.Or(c.public, c.String()) }

// String is the line of the command, without the payload, which may be a private key.
func (c Command) String() string {
	if len(c.payload) > 0 {
		return fmt.Sprintf("%s <<(%d lines)", c.line, len(c.payload))
	}
	return c.line
}

// verb is the first two words ("add server"), which are no names of the user's.
func (c Command) verb() string {
	words := strings.SplitN(c.line, " ", 3)
	return strings.Join(words[:min(2, len(words))], " ")
}

// bytes is the command as it goes over the wire.
func (c Command) bytes() []byte {
	if len(c.payload) == 0 {
		return []byte(c.line + "\n")
	}
	return []byte(c.line + " <<\n" + strings.Join(c.payload, "\n") + "\n\n")
}

// A CommandError is HAProxy's refusal of a command.
type CommandError struct {
	// Command is the command without its payload, and without the value of a map.
	Command string
	// Answer is what HAProxy said, on one line.
	Answer string
}

func (e *CommandError) Error() string {
	return fmt.Sprintf("haproxy refused %q: %s", e.Command, e.Answer)
}

// Refused reports whether err is HAProxy's refusal of a command, in an answer with words.
func Refused(err error, words string) bool {
	var refused *CommandError
	return errors.As(err, &refused) && strings.Contains(refused.Answer, words)
}
