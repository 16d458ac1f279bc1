package history

// checkPages looks at the pages of a bbolt file.
func checkPages(string) error { return nil }
