package socket

import (
	"bytes"
	"encoding/csv"
	"slices"
	"strings"
	"testing"
)

func TestCSV(t *testing.T) {
	const printed = "# pxname,svname,scur,desc,\ns-1,v1,3,\"a, \"\"b\"\"\",\ns-1,BACKEND,4,,\nspare,BACKEND,0,,\n"
	s, err := ParseStats(printed)
	if err != nil {
		t.Fatal(err)
	}
	same := s.CSV(func(r Row) (string, string, bool) { return r.Proxy(), r.Server(), true })
	if string(same) != printed {
		t.Errorf("written as\n%swant\n%s", same, printed)
	}
	named := s.CSV(func(r Row) (string, string, bool) { return "shop, the", r.Server(), r.Proxy() == "s-1" })
	if want := "# pxname,svname,scur,desc,\n\"shop, the\",v1,3,\"a, \"\"b\"\"\",\n\"shop, the\",BACKEND,4,,\n"; string(named) != want {
		t.Errorf("written as\n%swant\n%s", named, want)
	}
}

// FuzzRows: what encoding/csv writes is read again.
func FuzzRows(f *testing.F) {
	f.Add("a", "b,c", "d\"e", "f\ng")
	f.Add("", "\"", ",", "x")
	f.Fuzz(func(t *testing.T, a, b, c, d string) {
		rows := [][]string{{a, b, "1"}, {c, d, "2"}}
		for _, row := range rows {
			for i := range row {
				row[i] = strings.ReplaceAll(row[i], "\r", "") // which ends lines, in CSV
			}
		}
		var text bytes.Buffer
		w := csv.NewWriter(&text)
		if err := w.WriteAll(rows); err != nil {
			t.Fatal(err)
		}
		got := splitRows(text.String())
		if len(got) != len(rows) {
			t.Fatalf("%d rows of %q", len(got), text.String())
		}
		for i, row := range rows {
			if fields := splitFields(got[i]); !slices.Equal(fields, row) {
				t.Errorf("%q read as %q, want %q", got[i], fields, row)
			}
		}
	})
}
