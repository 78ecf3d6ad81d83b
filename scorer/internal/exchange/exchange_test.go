package exchange

import (
	"strings"
	"testing"
)

func FuzzMessageJSON(f *testing.F) {
	f.Add("plain")
	f.Add("quotes \" < > & \u2028 \xff")
	f.Fuzz(func(t *testing.T, message string) {
		b := messageJSON(message)
		if !strings.HasPrefix(string(b), `{"message": "`) || !strings.HasSuffix(string(b), `"}`) {
			t.Errorf("%q became %s", message, b)
		}
	})
}
