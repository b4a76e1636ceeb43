SELECT ok, sealed, unsealed, first_bad FROM audit_verify();
