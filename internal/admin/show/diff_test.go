package show

import (
	"slices"
	"testing"
)

func TestLinesOfADiffArePlain(t *testing.T) {
	for _, tt := range []struct{ lines, want []string }{
		{nil, []string{}},
		{
			[]string{"+ service web@docker", "+ claim 12", "+ filter strip-prefix /claim", "+ endpoint 10.0.0.1:80 ready weight 1 id 0123:80@docker instance web-1 source docker"},
			[]string{"+ service web@docker", "+ filter strip-prefix /claim", "+ endpoint 10.0.0.1:80 ready weight 1 instance web-1 source docker"},
		},
		{
			[]string{`- endpoint "1 instance" waiting weight 1 id "a \" b"`, "+ endpoint 10.0.0.1:80 ready weight 1 id 0"},
			[]string{`- endpoint "1 instance" waiting weight 1`, "+ endpoint 10.0.0.1:80 ready weight 1"},
		},
		{[]string{"- claim 3", "+ claim 12"}, []string{"~ its turn among routes that take the same requests"}},
		{
			[]string{"- endpoint 10.0.0.1:80 ready weight 1 id a instance web", "+ endpoint 10.0.0.1:80 ready weight 1 id b instance web"},
			[]string{"~ another container at the same address: 10.0.0.1:80 ready weight 1 instance web"},
		},
		{[]string{"~ a value that is not shown"}, []string{"~ a value that is not shown"}},
	} {
		if got := plainLines(tt.lines); !slices.Equal(got, tt.want) {
			t.Errorf("%q = %q, want %q", tt.lines, got, tt.want)
		}
	}
}
