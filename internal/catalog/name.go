package catalog

// maxName is the longest name, in bytes.
const maxName = 128

// IsName reports whether s can be the name of a service or an instance: letters,
// digits, dots, dashes and underscores, beginning with a letter or digit, as
// Docker itself demands, at most 128 bytes. It keeps "@" and "/" out, which have a
// meaning in IDs.
func IsName(s string) bool {
	if s == "" || len(s) > maxName {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case i > 0 && (c == '.' || c == '-' || c == '_'):
		default:
			return false
		}
	}
	return true
}
