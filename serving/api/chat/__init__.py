"""POST /chat, as users of KAITO know it."""
