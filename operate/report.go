package operate

import (
	"encoding/json"
	"io"
)

// A Report is what an operation found or measured.
type Report interface {
	// WriteText writes it for people.
	WriteText(w io.Writer) error
	// OK says whether it is as it should be.
	OK() bool
}

// WriteJSON writes a report for programs.
func WriteJSON(w io.Writer, r Report) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}
