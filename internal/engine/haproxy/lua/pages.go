package lua

import (
	_ "embed"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"fairway/internal/engine/errorpage"
)

//go:embed pages.lua
var pages string

// inString escapes what ends or changes a string of Lua.
var inString = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`, "\x00", `\0`)

// oneLine is a page as log formats can have it: in one line and in ASCII, what is else being
// a blank or a reference to the character.
func oneLine(page string) string {
	var b strings.Builder
	for _, r := range page {
		switch {
		case unicode.IsControl(r):
			b.WriteByte(' ')
		case r < utf8.RuneSelf:
			b.WriteRune(r)
		default:
			fmt.Fprintf(&b, "&#%d;", r)
		}
	}
	return b.String()
}

// MaxPage bounds a page in the form of oneLine with the longest values, in bytes. HAProxy
// writes an answer into one buffer: 16 KiB less 1 KiB, with its headers and the sentence.
const MaxPage = 12 << 10

// longest puts the longest values into a page.
var longest = strings.NewReplacer("{status}", "404", "{reason}", strings.Repeat("x", 31), "{host}", strings.Repeat("x", 253), "{request_id}", strings.Repeat("x", 64))

// CheckPage says why HAProxy cannot send a page.
func CheckPage(page string) error {
	if n := len(oneLine(longest.Replace(page))); n > MaxPage {
		return fmt.Errorf("HAProxy sends at most %d bytes and this page may have %d, as every character beyond ASCII is 6 to 9 bytes then: shorten it", MaxPage, n)
	}
	return nil
}

// withPages is the part with the pages and the converters for them.
func withPages(sets map[string]errorpage.Set) []byte {
	var b strings.Builder
	b.WriteString("do\n")
	text := func(name, value string) { fmt.Fprintf(&b, "local %s = \"%s\"\n", name, inString.Replace(value)) }
	text("head", errorpage.Head)
	text("foot", errorpage.Foot)
	text("tail", strings.TrimSuffix(errorpage.Tail, "\n"))
	text("aside", strings.TrimSpace(errorpage.Aside)+" ")
	text("aside_end", strings.TrimSuffix(errorpage.AsideEnd, "\n"))
	b.WriteString("local reasons = {\n")
	for status := 400; status < 600; status++ {
		if reason := http.StatusText(status); reason != "" {
			fmt.Fprintf(&b, "\t[\"%d\"] = \"%s\",\n", status, inString.Replace(reason))
		}
	}
	b.WriteString("}\nlocal sets = {\n")
	for _, name := range slices.Sorted(maps.Keys(sets)) {
		fmt.Fprintf(&b, "\t[\"%s\"] = {\n", inString.Replace(name))
		for _, of := range slices.Sorted(maps.Keys(sets[name])) {
			fmt.Fprintf(&b, "\t\t[\"%s\"] = \"%s\",\n", inString.Replace(of), inString.Replace(oneLine(sets[name][of])))
		}
		b.WriteString("\t},\n")
	}
	b.WriteString("}\n\n" + pages + "end\n")
	return []byte(b.String())
}
