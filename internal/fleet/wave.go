package fleet

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Share is a number of hosts, either as it is or as a part of all: "3" or "25%".
// The zero value stands for all hosts.
type Share struct {
	// Count is a number of hosts; Percent, from 1 to 100, a part of them. At most
	// one of them is set.
	Count, Percent int
}

// ParseShare reads "3" or "25%".
func ParseShare(text string) (Share, error) {
	number, percent := strings.CutSuffix(text, "%")
	n, err := strconv.Atoi(number)
	switch {
	case err != nil || n < 1:
		return Share{}, errors.New("write a number of hosts from 1, or a part of them as 25%")
	case percent && n > 100:
		return Share{}, errors.New("more than 100%")
	case percent:
		return Share{Percent: n}, nil
	default:
		return Share{Count: n}, nil
	}
}

// String is the text that ParseShare reads; "100%" for the zero value.
func (s Share) String() string {
	switch {
	case s.Count > 0:
		return strconv.Itoa(s.Count)
	case s.Percent > 0:
		return fmt.Sprintf("%d%%", s.Percent)
	default:
		return "100%"
	}
}

// MarshalText writes the text of String.
func (s Share) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the text of String.
func (s *Share) UnmarshalText(text []byte) error {
	parsed, err := ParseShare(string(text))
	if err == nil {
		*s = parsed
	}
	return err
}

// of is the number of hosts out of all; at least one.
func (s Share) of(all int) int {
	switch {
	case s.Count > 0:
		return s.Count
	case s.Percent > 0:
		return max(1, (all*s.Percent+99)/100)
	default:
		return max(1, all)
	}
}
