// Package lua holds what HAProxy does with requests in Lua: what is not written in the
// usual way is read here.
package lua

import (
	"bytes"
	_ "embed"

	"fairway/internal/engine/errorpage"
)

// The parts of the file that HAProxy loads, in their order: what comes first is local
// to all of it.
var (
	//go:embed canonical.lua
	canonical []byte
	//go:embed identity.lua
	identity []byte
	//go:embed actions.lua
	actions []byte
)

// File is the content of the file that a configuration loads, with pages of errors by set.
func File(sets map[string]errorpage.Set) []byte {
	return bytes.Join([][]byte{canonical, identity, actions, withPages(sets)}, []byte("\n"))
}
