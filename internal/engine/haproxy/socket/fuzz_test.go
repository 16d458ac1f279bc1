package socket

import (
	"strings"
	"testing"
)

// words splits a line as HAProxy's command parser does: a semicolon or line break
// ends the command, "<<" at its end begins a payload, blanks separate words, and a
// backslash takes the meaning of what follows.
func words(line string) (list []string, commands int) {
	var word strings.Builder
	begun := false
	end := func() {
		if begun {
			list = append(list, word.String())
		}
		word.Reset()
		begun = false
	}
	commands = 1
	for i := 0; i < len(line); i++ {
		switch c := line[i]; c {
		case '\\':
			i++
			if i < len(line) {
				word.WriteByte(line[i])
				begun = true
			}
		case ' ', '\t':
			end()
		case ';', '\n':
			end()
			commands++
		default:
			word.WriteByte(c)
			begun = true
		}
	}
	end()
	return list, commands
}

// FuzzCmd: whatever the words are, the line is one command with exactly them, or
// there is none.
func FuzzCmd(f *testing.F) {
	for _, w := range nasty {
		f.Add(w, "other")
	}
	f.Add("a\nb", "x")
	f.Add("", "<<")
	f.Fuzz(func(t *testing.T, a, b string) {
		c, err := Cmd("add", a, b)
		if err != nil {
			if a != "" && b != "" && !strings.ContainsAny(a+b, "\r\n\x00") && len(a)+len(b) < 1000 {
				t.Errorf("%q %q: %v", a, b, err)
			}
			return
		}
		line := strings.TrimSuffix(string(c.bytes()), "\n")
		got, commands := words(line)
		if commands != 1 || len(got) != 3 || got[1] != a || got[2] != b {
			t.Errorf("%q %q becomes %q: %d commands of %q", a, b, line, commands, got)
		}
		if strings.Contains(line, " <<") || strings.ContainsAny(line, "\n\r\x00") {
			t.Errorf("%q %q becomes %q", a, b, line)
		}
	})
}

// FuzzEntry: an entry that is taken is one line of a payload that reads back as it.
func FuzzEntry(f *testing.F) {
	for _, w := range nasty {
		f.Add("key", w)
		f.Add(w, "value")
	}
	f.Fuzz(func(t *testing.T, key, value string) {
		commands, err := AddMap("m", []Entry{{key, value}})
		if err != nil {
			return
		}
		if len(commands) != 1 || len(commands[0].payload) != 1 {
			t.Fatalf("%q %q becomes %d commands", key, value, len(commands))
		}
		line := commands[0].payload[0]
		k, v, _ := strings.Cut(line, " ")
		if k != key || v != value || strings.ContainsAny(line, "\r\n\x00") || line[0] == '#' {
			t.Errorf("%q %q becomes %q", key, value, line)
		}
	})
}

// FuzzPEM: a payload of any file is lines that do not end it, and nothing but those
// of blocks.
func FuzzPEM(f *testing.F) {
	f.Add("-----BEGIN X-----\nabc\n\n-----END X-----\n")
	f.Add("show env\n-----BEGIN X-----\r\nabc\r\n-----END X-----\nshow env")
	f.Fuzz(func(t *testing.T, text string) {
		lines, err := pemLines([]byte(text))
		if err != nil {
			return
		}
		if !strings.HasPrefix(lines[0], "-----BEGIN ") || !strings.HasPrefix(lines[len(lines)-1], "-----END ") {
			t.Errorf("%q", lines)
		}
		c, err := command(lines, "set", "ssl", "cert", "x")
		if err != nil {
			return
		}
		if strings.Contains(strings.TrimSuffix(string(c.bytes()), "\n\n"), "\n\n") {
			t.Errorf("an empty line in %q", c.bytes())
		}
	})
}

// FuzzParsers: no answer is too strange.
func FuzzParsers(f *testing.F) {
	for _, seed := range []string{
		"", "\n", "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_port srv_check_state\n3 be 1 a 127.0.0.1 2 0 100 80 6\n",
		"# pxname,svname,x,\na,FRONTEND,1,\nb,\"q\"\"q\",2,\n",
		"0x1 key value with blanks\n0x2 k v\n", "# id (file) description\n0 (/a/b.map) pattern loaded from file\n-1 () x\n",
		"#<PID> <type>\n1 master 0 [failed: 0] 0d00h00m19s 2.6.12\n# workers\n2 worker 0 0d00h00m19s 2.6.12\n# old workers\n3 worker 1 1d00h00m00s\n",
		"# filename\n*/x\n/y\n", "Filename: /a\nStatus: Used\nSHA1 FingerPrint: AA\n", "# /list\n/a.pem:1 [alpn h2\x00] a b\n/b.pem:2\n",
		"proc.x: type=str value=<abc>\n", `type=beg, case=sensitive, found=yes, idx=tree, key="k", value="v", type="str"`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, answer string) {
		if servers, err := parseServers(answer); err == nil {
			for _, s := range servers {
				if s.Name == "" || s.Backend == "" || s.State == "" {
					t.Errorf("server %+v", s)
				}
			}
		}
		if stats, err := ParseStats(answer); err == nil {
			for row := range stats.Rows() {
				_, _, _ = row.Proxy(), row.Server(), row.Number("x")
			}
		}
		if entries, err := parseMap(answer); err == nil {
			for _, e := range entries {
				if e.Key == "" {
					t.Errorf("entry %+v", e)
				}
			}
		}
		if p, err := parseProcesses(answer); err == nil && p.Master.PID <= 0 {
			t.Errorf("processes %+v", p)
		}
		_, _ = parseMapFiles(answer)
		_, _ = parseCertificates(answer)
		_, _ = parseFingerprint(answer)
		_, _ = parseCrtList(answer)
		_, _ = parseVar("proc.x", answer)
		_, _ = parseMapValue("k", answer)
	})
}
