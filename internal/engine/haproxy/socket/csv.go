package socket

import (
	"bytes"
	"encoding/csv"
)

// CSV writes rows in the form in which HAProxy prints them. keep says for each row
// by what names its section and server are written, and whether it is there at all.
func (s Stats) CSV(keep func(Row) (proxy, server string, ok bool)) []byte {
	width := 0
	for _, i := range s.columns {
		width = max(width, i+1)
	}
	header := make([]string, width)
	for name, i := range s.columns {
		header[i] = name
	}
	var b bytes.Buffer
	b.WriteString("# ")
	w := csv.NewWriter(&b)
	write := func(fields []string) { _ = w.Write(append(fields, "")) } // a buffer takes everything
	write(header)
	for i := range s.rows {
		proxy, server, ok := keep(s.Row(i))
		if !ok {
			continue
		}
		fields := make([]string, width)
		copy(fields, splitFields(s.rows[i]))
		fields[s.columns["pxname"]], fields[s.columns["svname"]] = proxy, server
		write(fields)
	}
	w.Flush()
	return b.Bytes()
}
