// Package background settles the terminal's background colour before anybody asks the terminal for it.
//
// github.com/charmbracelet/bubbletea, version 1, asks from an init function. A terminal that does not
// answer, like a serial line or some editors', then delays every command by 5 seconds, also
// those that never show a form. This package answers first: Go initialises packages that
// are ready in the order of their import paths (Go specification, "Program initialization"), and
// "github.com/cargo-regkey/…/background" sorts before "github.com/charmbracelet/bubbletea". It must
// therefore import nothing but what bubbletea imports too. Programs that use huh import it for
// its effect alone.
package background

import "github.com/charmbracelet/lipgloss"

// Most terminals are dark, and huh's colours for dark ones can be read on light ones too.
func init() { lipgloss.SetHasDarkBackground(true) }
