package assembly

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/platform/bus"
)

// TestTroubleKeepsTheProcessReady checks that what is wrong is told, and that the
// process is not taken out of service for it.
func TestTroubleKeepsTheProcessReady(t *testing.T) {
	for name, c := range map[string]struct {
		trouble func() string
		want    string
	}{
		"no server to be in trouble": {nil, `{"status":"ok"}`},
		"all is well":                {func() string { return "" }, `{"status":"ok"}`},
		"trouble":                    {func() string { return "the disk is full" }, `{"status":"degraded","problem":"the disk is full"}`},
	} {
		w := httptest.NewRecorder()
		answer(w, (&healthServer{trouble: c.trouble}).now())
		if got := strings.TrimSpace(w.Body.String()); got != c.want || w.Code != http.StatusOK {
			t.Errorf("%s: %d %s, want 200 %s", name, w.Code, got, c.want)
		}
	}
	w := httptest.NewRecorder()
	answer(w, health{Status: starting})
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("starting: %d", w.Code)
	}
}

func TestServicesNeedTheirCertificate(t *testing.T) {
	authenticate := certified(services("secret", nil))
	if _, err := authenticate(t.Context(), bus.Credential{User: natsUser, Password: "secret"}); err == nil {
		t.Error("the password alone is enough")
	}
}
