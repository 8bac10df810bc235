"""The form of API keys: auth makes them, and the gateway tells junk from them without asking."""

from __future__ import annotations

from shared.secret_forms import SecretForm, secret_hash

PREFIX = "tl_live_"  # lets scanners of source code find a key that has leaked
_FORM = SecretForm(PREFIX)

new_api_key = _FORM.new
is_api_key = _FORM.fits
api_key_hash = secret_hash
