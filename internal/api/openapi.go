package api

import _ "embed"

//go:embed openapi.json
var openAPI []byte

// OpenAPI returns the OpenAPI 3.1 document of the admin API, as JSON. It is made
// from the operations of the API, their wire types and docs/api.md by a test of
// package admin.
func OpenAPI() []byte { return openAPI }
