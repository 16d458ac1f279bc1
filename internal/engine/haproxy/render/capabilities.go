package render

// Capabilities are what a HAProxy can do beyond 2.6, which is the least that is
// needed. The zero value is that of 2.6.
type Capabilities struct {
	// Major and Minor are the version, for the sentences of Unsupported; zero when
	// unknown.
	Major, Minor int
	// NoLua is true when Lua was not built in; Render refuses to work then, because
	// requests that are written in unusual ways are brought into their canonical
	// form by Lua.
	NoLua bool
	// InitState (3.1) lets a new server wait for its first check.
	InitState bool
	// DynamicCookie (3.0) lets servers added at runtime have a cookie.
	DynamicCookie bool
}
