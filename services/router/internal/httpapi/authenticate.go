package httpapi

import (
	"net/http"
	"strings"

	"github.com/fairlead/fairlead/services/router/internal/routetable"
	"github.com/fairlead/fairlead/services/router/internal/token"
)

// authenticate wants a key of the endpoint as a bearer token, or a token that
// was made for it, whichever opens it.
func (h *Handler) authenticate(endpoint *routetable.Endpoint, x *exchange) *refusal {
	if endpoint.Open || x.r.Method == http.MethodOptions {
		return nil
	}
	what, source := "key", "a key of this endpoint"
	if endpoint.Tokens {
		what, source = "token", "a token for this endpoint"
	}
	values := x.r.Header["Authorization"]
	if len(values) == 0 {
		return refuseUnauthorized("Unauthorized, no Auth Header: send 'Authorization: Bearer <" + what + ">' with " + source + ".")
	}
	scheme, secret, _ := strings.Cut(values[0], " ")
	if len(values) > 1 || !strings.EqualFold(scheme, "Bearer") {
		return refuseUnauthorized("Unauthorized, the Auth Header is not of the form 'Authorization: Bearer <" + what + ">'.")
	}
	secret = strings.TrimSpace(secret)
	if endpoint.Tokens {
		return h.checkToken(endpoint, secret)
	}
	if !endpoint.Keys.Opens(secret) {
		if token.LooksLike(secret) {
			return refuseUnauthorized("Unauthorized, this endpoint is opened by keys, and what was sent is a token.")
		}
		return refuseUnauthorized("Unauthorized, the key is not one of this endpoint's keys.")
	}
	return nil
}

func (h *Handler) checkToken(endpoint *routetable.Endpoint, secret string) *refusal {
	err := h.tokens.Check(secret, endpoint.TokenKeys, endpoint.TokenFor, h.clock())
	switch {
	case err == nil:
		return nil
	case !token.LooksLike(secret):
		return refuseUnauthorized("Unauthorized, this endpoint is opened by tokens, and what was sent is not a token; its keys do not open it.")
	}
	return refuseUnauthorized("Unauthorized, " + err.Error() + "; get a new one with: fairlead endpoint get-token -n " + endpoint.ID.Endpoint)
}
