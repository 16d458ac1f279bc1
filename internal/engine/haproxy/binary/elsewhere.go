package binary

// Read takes apart what `haproxy -c` wrote where it was not run by Check: in a
// container, say. file is the name that the configuration had there, content
// what was in it, ok that haproxy ended with code 0.
func Read(out, file, content string, ok bool) *Report {
	r := read(out, known{files: map[string]bool{file: true}, text: " " + file + "\n" + content})
	r.OK = ok
	return r
}
