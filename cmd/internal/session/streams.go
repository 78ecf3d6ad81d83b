package session

import (
	"os"

	"golang.org/x/term"
)

// usualWidth is taken where the terminal does not say.
const usualWidth = 100

// SystemStreams gives the streams of this process.
func SystemStreams() Streams {
	return Streams{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
		OutTerminal: term.IsTerminal(int(os.Stdout.Fd())),
		ErrTerminal: term.IsTerminal(int(os.Stderr.Fd())),
		Width: func() int {
			width, _, err := term.GetSize(int(os.Stderr.Fd()))
			if err != nil {
				return usualWidth
			}
			return width
		},
	}
}
