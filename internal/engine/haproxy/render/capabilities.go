package render

// Capabilities are what a HAProxy can do beyond 2.6, which is the least that is
// needed, for Unsupported. The zero value is that of 2.6.
type Capabilities struct{ Major, Minor int }
