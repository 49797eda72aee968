-- A day at the learning platform: user 2 finishes a course, user 7 is gone, user 14 joins Dogwood.
UPDATE enrolments SET status = 'completed', completed_on = current_date, expires_on = current_date + 730, updated_at = now()
    WHERE enrolment_id = 6;
DELETE FROM enrolments WHERE user_id = 7;
DELETE FROM group_members WHERE user_id = 7;
DELETE FROM users WHERE user_id = 7;
INSERT INTO group_members VALUES (40, 14);
