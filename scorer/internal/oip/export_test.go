package oip

// Parts that tests outside the package try on their own.
var (
	RequestOf       = requestOf
	ResponseMessage = responseMessage
)
