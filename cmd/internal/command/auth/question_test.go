package auth

import (
	"testing"

	"github.com/spf13/cobra"
)

func TestQuestionsInTheWordsOfTheCommands(t *testing.T) {
	const room, e = "workspaces/default", "workspaces/default/endpoints/e"
	for _, tt := range []struct{ action, resource, method, about string }{ // no method: refused
		{"get-token", "endpoints/e", "GetEndpointToken", e},
		{"score", "endpoints/e", "GetEndpointToken", e},
		{"get-keys", e, "ListEndpointKeys", e},
		{"regen-key", "endpoints/e", "RegenerateEndpointKey", e},
		{"rollback", "endpoints/e", "RollbackEndpointVersion", e},
		{"create-version", "endpoints/e", "CreateEndpointVersion", e},
		{"show", "endpoints/e", "GetEndpoint", e},
		{"delete", "endpoints/e/versions/v", "DeleteEndpointVersion", e + "/versions/v"},
		{"list", "endpoints", "ListEndpoints", room},
		{"create", "models", "RegisterModel", room},
		{"CreateEndpoint", "", "CreateEndpoint", room},
		{"/s.v1.S/M", "", "/s.v1.S/M", room},
		{"get-token", "", "", ""},
		{"get-token", "models/m", "", ""},
		{"fly", "endpoints/e", "", ""},
		{"delete", "", "", ""},
	} {
		req, err := question(&cobra.Command{Use: "can-i"}, tt.action, tt.resource, room)
		if (err != nil) != (tt.method == "") || req.GetMethod() != tt.method || req.GetResource() != tt.about {
			t.Errorf("can-i %s %s asks %v, %v; want %s on %s", tt.action, tt.resource, req, err, tt.method, tt.about)
		}
	}
}
