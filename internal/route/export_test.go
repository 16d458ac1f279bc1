package route

import (
	"testing"

	"golang.org/x/tools/txtar"
)

// Full, Sealed and Golden are for tests that import what imports this package.
func Full() *Table { return full() }

// Sealed is a table with the contents of another one.
func Sealed(t testing.TB, table *Table) *Table { return sealed(t, table) }

// Golden compares files with those of testdata.
func Golden(t *testing.T, name string, files ...txtar.File) { golden(t, name, files...) }
