SELECT reason, owner, deadline FROM why($1);
