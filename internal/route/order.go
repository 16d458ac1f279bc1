package route

// Compare is the order of precedence of two matches, the one at index i of a and
// the one at index j of b: negative when a's goes before b's for a request that
// both take, zero only for one and the same. It does not depend on the request;
// Matcher says how it goes. Routes that were in no table are zero.
func Compare(a *Route, i int, b *Route, j int) int {
	if !a.seal.of(a) || !b.seal.of(b) {
		return 0
	}
	x, y := a.seal.matches[i], b.seal.matches[j]
	n, _ := compareEntries(
		&entry{route: a, index: int32(i), match: x, conditions: x.conditions},
		&entry{route: b, index: int32(j), match: y, conditions: y.conditions},
	)
	return n
}
