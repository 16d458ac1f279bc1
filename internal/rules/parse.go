package rules

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"fairway/internal/nearest"
)

// Condition is what a rule waits for:
//
//	condition = metric [ operator value ] [ "for" duration ] [ "until" value ]
//	operator  = ">" | ">=" | "<" | "<="
//	value     = number [ unit ]
//
// A metric that is either so or not has neither operator nor value. The unit is that
// of the metric: %, B KiB MiB GiB, a duration, /s. "for" is how long it must hold before
// the rule fires, and must not before it clears; "until" is the value that must be
// reached for that, by default a tenth off the first one.
type Condition struct {
	Metric Metric
	// Operator is one of the above; empty for a metric that is so or not.
	Operator string
	// Value and Until are in the metric's own unit.
	Value, Until float64
	For          time.Duration
}

// SyntaxError is what is wrong with a condition, and where.
type SyntaxError struct {
	// Column counts bytes from 1.
	Column int
	Reason string
}

// Error says column and reason.
func (e *SyntaxError) Error() string { return fmt.Sprintf("column %d: %s", e.Column, e.Reason) }

const (
	maxCondition = 500
	maxFor       = 24 * time.Hour
)

// Parse reads a condition. The error is a *SyntaxError.
func Parse(text string) (Condition, error) {
	if len(text) > maxCondition {
		return Condition{}, &SyntaxError{1, fmt.Sprintf("longer than %d bytes", maxCondition)}
	}
	p := &parser{text: text}
	p.next()
	c, err := p.condition()
	if err != nil {
		return Condition{}, err
	}
	return c, nil
}

// parser reads words: what is between spaces, and operators.
type parser struct {
	text string
	at   int // where the word begins
	end  int
	word string // empty at the end
}

const (
	blanks    = " \t\n"
	operators = "<>="
)

func (p *parser) next() {
	rest := strings.TrimLeft(p.text[p.end:], blanks)
	p.at = len(p.text) - len(rest)
	length := len(rest) - len(strings.TrimLeft(rest, operators))
	if length == 0 {
		if length = strings.IndexAny(rest, blanks+operators); length < 0 {
			length = len(rest)
		}
	}
	p.end = p.at + length
	p.word = p.text[p.at:p.end]
}

func (p *parser) fail(format string, args ...any) error {
	return &SyntaxError{p.at + 1, fmt.Sprintf(format, args...)}
}

func (p *parser) condition() (c Condition, err error) {
	if p.word == "" {
		return c, p.fail("a metric is expected, such as node.cpu")
	}
	c.Metric = Metric(p.word)
	kind, ok := kinds[c.Metric]
	if !ok {
		var names []string
		for _, m := range Metrics() {
			names = append(names, string(m))
		}
		if near := nearest.Word(p.word, names); near != "" {
			return c, p.fail("%s is no metric; did you mean %s?", strconv.Quote(p.word), near)
		}
		return c, p.fail("%s is no metric", strconv.Quote(p.word))
	}
	p.next()
	if c.Operator, c.Value, err = p.comparison(c.Metric, kind); err != nil {
		return c, err
	}
	c.Until = usualUntil(c.Operator, c.Value)
	if p.word == "for" {
		p.next()
		if c.For, err = time.ParseDuration(p.word); err != nil || c.For < 0 || c.For > maxFor {
			return c, p.fail("a duration up to 24h is expected, such as 5m")
		}
		p.next()
	}
	if p.word == "until" {
		if c.Operator == "" || kind.unit == unitFlag {
			return c, p.fail("%s is so or not; there is no value to wait for", c.Metric)
		}
		p.next()
		if c.Until, err = p.value(kind.unit); err != nil {
			return c, err
		}
		if c.rises() && c.Until > c.Value || !c.rises() && c.Until < c.Value {
			return c, p.fail("a value on the other side of %s is expected", kind.unit.text(c.Value))
		}
		p.next()
	}
	if p.word != "" {
		return c, p.fail("%s is not expected here", strconv.Quote(p.word))
	}
	return c, nil
}

// comparison reads what follows the metric.
func (p *parser) comparison(m Metric, kind metricKind) (operator string, value float64, err error) {
	isOperator := strings.Trim(p.word, "<>=") == "" && p.word != ""
	switch {
	case kind.unit == unitFlag && isOperator:
		return "", 0, p.fail("%s is so or not; it has no value", m)
	case kind.unit == unitFlag:
		return "", 0, nil
	case !isOperator && kind.bare:
		return ">", 0, nil
	case p.word != ">" && p.word != ">=" && p.word != "<" && p.word != "<=":
		return "", 0, p.fail(">, >=, < or <= is expected")
	}
	operator = p.word
	p.next()
	if value, err = p.value(kind.unit); err != nil {
		return "", 0, err
	}
	p.next()
	return operator, value, nil
}

// value reads a number with its unit.
func (p *parser) value(u unit) (float64, error) {
	v, err := u.parse(p.word)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) || v < 0 {
		return 0, p.fail("a value such as %s is expected", u.example())
	}
	return v, nil
}

// rises is true when the condition waits for a value to be above something.
func (c Condition) rises() bool { return c.Operator == ">" || c.Operator == ">=" }

// usualUntil lies a tenth off a value, on the side where all is well.
func usualUntil(operator string, v float64) float64 {
	switch operator {
	case ">", ">=":
		return v * 0.9
	case "<", "<=":
		return v * 1.1
	}
	return 0
}

// String writes the condition in full.
func (c Condition) String() string {
	unit := kinds[c.Metric].unit
	text := string(c.Metric)
	if c.Operator != "" {
		text += " " + c.Operator + " " + unit.text(c.Value)
	}
	if c.For > 0 {
		text += " for " + durationText(c.For)
	}
	if c.Operator != "" && c.Until != usualUntil(c.Operator, c.Value) {
		text += " until " + unit.text(c.Until)
	}
	return text
}

// holds reports whether a value fulfils the condition; lasting: still does.
func (c Condition) holds(v float64, lasting bool) bool {
	limit := c.Value
	if lasting {
		limit = c.Until
	}
	switch c.Operator {
	case "":
		return v > 0
	case ">":
		return v > limit
	case ">=":
		return v >= limit
	case "<":
		return v < limit
	}
	return v <= limit
}

// unit is what a metric is measured in.
type unit string

const (
	unitFlag    unit = "flag" // 1 is so, 0 is not
	unitPercent unit = "%"
	unitBytes   unit = "bytes"
	unitRate    unit = "/s"
	unitSeconds unit = "seconds"
	unitCount   unit = "count"
)

// sizes may stand behind numbers, the largest first; seconds are written as durations.
var sizes = map[unit][]struct {
	suffix string
	factor float64
}{
	unitFlag:    {{"", 1}},
	unitCount:   {{"", 1}},
	unitPercent: {{"%", 1}},
	unitRate:    {{"/s", 1}},
	unitBytes:   {{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}},
}

func (u unit) parse(text string) (float64, error) {
	if u == unitSeconds {
		d, err := time.ParseDuration(text)
		return d.Seconds(), err
	}
	for _, s := range sizes[u] {
		if number, ok := strings.CutSuffix(text, s.suffix); ok {
			v, err := strconv.ParseFloat(number, 64)
			return v * s.factor, err
		}
	}
	return 0, strconv.ErrSyntax
}

func (u unit) example() string {
	return map[unit]string{unitPercent: "90%", unitBytes: "512MiB", unitRate: "100/s", unitSeconds: "500ms", unitCount: "3"}[u]
}

// text writes a value so that parse reads it again.
func (u unit) text(v float64) string {
	if u == unitSeconds {
		return durationText(time.Duration(math.Round(v * float64(time.Second))))
	}
	return u.format(v, 'g', -1, func(part float64) bool { return part >= 1 && part == math.Trunc(part) })
}

// shown writes a value for people.
func (u unit) shown(v float64) string {
	digits := 1
	switch u {
	case unitSeconds:
		return durationText(time.Duration(v * float64(time.Second)).Round(time.Millisecond))
	case unitFlag, unitCount:
		digits = -1
	}
	return u.format(v, 'f', digits, func(part float64) bool { return part >= 1 })
}

// format writes a value in the largest size that fits, else in the smallest.
func (u unit) format(v float64, form byte, digits int, fits func(part float64) bool) string {
	left := sizes[u]
	for len(left) > 1 && !fits(v/left[0].factor) {
		left = left[1:]
	}
	return strconv.FormatFloat(v/left[0].factor, form, digits, 64) + left[0].suffix
}

// durationText leaves out the units that are zero at the end: 5m, not 5m0s.
func durationText(d time.Duration) string {
	text := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = text[:len(text)-2]
		}
	}
	return text
}
