package pcre

import (
	"regexp"
	"strconv"
	"strings"
)

// Rewriting makes search and replacement of a whole path for HAProxy, or says why there are none.
func Rewriting(expression, replacement string) (search, replace, why string) {
	expr, err := Translate(expression, Plain())
	if err != nil {
		return "", "", "its expression cannot be used: " + err.Error()
	}
	re, err := regexp.Compile(expression)
	if err != nil {
		return "", "", err.Error()
	}
	last := re.NumSubexp() + 3 // in front, the whole, its groups, behind
	if last > 9 {
		return "", "", "its expression has more than 6 groups"
	}
	var b strings.Builder
	b.WriteString(`\1`)
	for rest := replacement; rest != ""; {
		text, after, found := strings.Cut(rest, `\`)
		b.WriteString(strings.ReplaceAll(text, "%", "%%"))
		if !found || after == "" {
			break
		}
		if c := after[0]; c == '\\' {
			b.WriteString(`\\`)
		} else {
			b.WriteString(`\` + strconv.Itoa(int(c-'0')+2))
		}
		rest = after[1:]
	}
	b.WriteString(`\` + strconv.Itoa(last))
	return `\A([\x00-\xff]*?)(` + expr + `)([\x00-\xff]*)\z`, b.String(), ""
}
