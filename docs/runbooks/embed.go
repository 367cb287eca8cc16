// Package runbooks has the pages that alerts point to in the program: one an alert, and an index.
package runbooks

import (
	"embed"
	"io/fs"
)

//go:embed *.md
var pages embed.FS

// Pages are the runbook pages by name: NodeDown.md and so on, and README.md.
func Pages() fs.FS { return pages }
