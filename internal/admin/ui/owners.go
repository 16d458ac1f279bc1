package ui

import "fairway/internal/api/rights"

// ownersData is the records of owners, in their order.
type ownersData struct {
	Records []rights.OwnerRecord
	Any     bool // there is a record, beside what none fits
}

func readOwners(c *call) (any, error) {
	list, err := rights.Records(c, c.ask)
	d := ownersData{Records: must(list, err).Items}
	for _, r := range d.Records {
		d.Any = d.Any || r.Name != ""
	}
	return d, nil
}
