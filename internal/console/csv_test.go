package console

import (
	"bytes"
	"testing"
)

// A table as CSV has all its columns and nothing cut; quotes and commas are escaped, what
// cannot be seen is visible, and no cell is a formula.
func TestCSV(t *testing.T) {
	var out bytes.Buffer
	c := &Console{Out: &out, Format: "csv", Width: 20, Colours: true}
	c.Printf("above\n")
	table := c.Columns("NAME", "-SPARE", "+EXTRA")
	table.Add(Bold.Cell("  a, \"b\""), "-1.5", "-")
	table.Add("=HYPERLINK(\"http://evil.example\")", "+1 more", "@SUM(A1)")
	table.Add("-2+3", "two\nlines\x1b[31m", "")
	table.Print()
	c.Fields("", Fields{{"name", "value"}})
	want := "NAME,SPARE,EXTRA\n" +
		`"a, ""b""",-1.5,-` + "\n" +
		`"'=HYPERLINK(""http://evil.example"")",'+1 more,'@SUM(A1)` + "\n" +
		`'-2+3,two\nlines\x1b[31m,` + "\n"
	if out.String() != want {
		t.Errorf("printed\n%s\nwant\n%s", out.String(), want)
	}
}
