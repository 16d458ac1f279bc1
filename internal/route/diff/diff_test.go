package diff

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestDiffLinesLeadFromOldToNew applies the difference of two texts to the first
// and wants the second.
func TestDiffLinesLeadFromOldToNew(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		line := rapid.SampledFrom([]string{"a", "b", "c", "+ a", "- a"})
		list := rapid.SliceOfN(line, 0, 12)
		a, b := list.Draw(t, "old"), list.Draw(t, "new")
		diff := lines(element(a), element(b))

		added, removed := map[string]int{}, map[string]int{}
		for _, d := range diff {
			if s, ok := strings.CutPrefix(d, "+ "); ok {
				added[s]++
			} else {
				removed[strings.TrimPrefix(d, "- ")]++
			}
		}
		for _, l := range []string{"a", "b", "c", "+ a", "- a"} {
			if count(a, l)-removed[l]+added[l] != count(b, l) {
				t.Fatalf("%q: %d lines, then %d: %q", l, count(a, l), count(b, l), diff)
			}
		}
		if want := len(a) + len(b) - 2*len(longest(a, b)); len(diff) != want {
			t.Fatalf("%d lines differ, reported are %d: %q", want, len(diff), diff)
		}
	})
}

func element(lines []string) string {
	s := "route x\n"
	for _, l := range lines {
		s += "  " + l + "\n"
	}
	return s
}

func count(list []string, s string) int {
	n := 0
	for _, l := range list {
		if l == s {
			n++
		}
	}
	return n
}

// TestDiffOfHugeElementsIsBounded has texts of which every line differs, but the first
// and the last.
func TestDiffOfHugeElementsIsBounded(t *testing.T) {
	const n = 5000
	a, b := []string{"head"}, []string{"head"}
	for i := range n {
		a = append(a, strings.Repeat("a", i%7+1))
		b = append(b, strings.Repeat("b", i%7+1))
	}
	a, b = append(a, "tail"), append(b, "tail")
	diff := lines(element(a), element(b))
	if len(diff) != 2*n || slices.Contains(diff, "- head") || slices.Contains(diff, "+ tail") {
		t.Errorf("%d lines", len(diff))
	}
}

// longest is the textbook's longest common subsequence.
func longest(a, b []string) []string {
	length := make([][]int, len(a)+1) // length[i][j] is that of a[i:] and b[j:]
	for i := range length {
		length[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				length[i][j] = length[i+1][j+1] + 1
			} else {
				length[i][j] = max(length[i+1][j], length[i][j+1])
			}
		}
	}
	var list []string
	for i, j := 0, 0; i < len(a) && j < len(b); {
		switch {
		case a[i] == b[j]:
			list = append(list, a[i])
			i, j = i+1, j+1
		case length[i+1][j] >= length[i][j+1]:
			i++
		default:
			j++
		}
	}
	return list
}
