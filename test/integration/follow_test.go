package integration

import (
	"bufio"
	"net/http"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/test/harness"
)

// TestFollow reads events by REST as they happen, on a connection that stays.
func TestFollow(t *testing.T) {
	harness.Each(t, func(t *testing.T, i *harness.Installation) {
		request, err := http.NewRequestWithContext(testContext(t), http.MethodGet,
			i.Server+"/v1/workspaces/default/events:watch?typePrefix=fairlead.deploy.model.", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+i.Token)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		registerModel(t, i)
		lines := bufio.NewScanner(response.Body)
		for lines.Scan() {
			data, ok := strings.CutPrefix(lines.Text(), "data:")
			if !ok {
				continue
			}
			e := parseEvent(t, []byte(data))
			if e.Type != "fairlead.deploy.model.v1.registered" || e.Subject != workspace+"/models/demo/versions/1" {
				t.Errorf("the event is %s of %s", e.Type, e.Subject)
			}
			return
		}
		t.Errorf("the stream ended without an event: %v", lines.Err())
	})
}
